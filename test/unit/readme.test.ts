import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { ERROR_STATUS } from '../../src/http/errors.js'

const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8')

function listedErrors(): Record<string, number> {
  const rows = readme.matchAll(/^\| (\d{3}) \| `([a-z_]+)` \| \S/gm)
  return Object.fromEntries([...rows].map(([, status, code]) => [code, Number(status)]))
}

test('the README lists every error code with its status, and no other', () => {
  expect(listedErrors()).toEqual({ ...ERROR_STATUS })
})

test('the README begins with the two commands', () => {
  const firstScreen = readme.split('\n').slice(0, 15).join('\n')
  expect(firstScreen).toContain('npm ci && npm start')
  expect(firstScreen).toContain('npm ci && npm test')
})

test('files and scripts the README names are there', () => {
  const links = [...readme.matchAll(/\]\((?!https?:)([^)#]+)\)/g)].map(([, path]) => path ?? '')
  expect(links.length).toBeGreaterThan(3)
  for (const path of links) {
    expect(() => readFileSync(new URL(`../../${path}`, import.meta.url)), path).not.toThrow()
  }
})
