import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { filenameProblem, isReservedName, LONGEST_FILENAME, reservedName } from '../../src/upload/filename.js'

describe('a filename', () => {
  test.each([
    'a',
    'same.tar.gz',
    '.bashrc',
    '...',
    '..a',
    ' ',
    'a b',
    'Übergröße.mp4',
    '日本語の名前.txt',
    '👩‍👩‍👧‍👦.jpg',
    'a\\b',
    'C:x',
    '-rf',
    '~',
    'tributary-1',
    '.tributary',
    'a'.repeat(255),
    '€'.repeat(85),
  ])('may be %j', (name) => {
    expect(filenameProblem(name, 'linux')).toBeNull()
  })

  test.each([
    ['', 'empty'],
    ['.', '"."'],
    ['..', '".."'],
    ['a/b', '"/"'],
    ['/etc/passwd', '"/"'],
    ['../x', '"/"'],
    ['a/', '"/"'],
    ['a\0b', 'control'],
    ['a\nb', 'control'],
    ['a\x7f', 'control'],
    ['a\x85', 'control'],
    ['a\ud800b', 'Unicode'],
    ['\udc00', 'Unicode'],
    ['a'.repeat(256), '255 bytes'],
    ['€'.repeat(86), '255 bytes'],
    ['.tributary-x', '.tributary-'],
    ['.Tributary-', '.tributary-'],
  ])('may not be %j', (name, about) => {
    expect(filenameProblem(name, 'linux')).toContain(about)
    expect(filenameProblem(name, 'linux')).toMatch(/^The filename must .*\.$/)
  })

  test('may not be a path on Windows, either', () => {
    expect(filenameProblem('a\\b', 'win32')).toContain('"\\"')
    expect(filenameProblem('a\\b', 'darwin')).toBeNull()
  })

  test('that passes is one component, of at most 255 bytes, that outlives the way to the disk and back', () => {
    const text = fc.oneof(fc.string({ unit: 'binary', maxLength: 300 }), fc.string({ maxLength: 300 }))
    fc.assert(
      fc.property(text, (name) => {
        if (filenameProblem(name, 'linux') !== null) return
        expect(Buffer.from(name).toString()).toBe(name)
        expect(Buffer.byteLength(name)).toBeLessThanOrEqual(LONGEST_FILENAME)
        expect(new URL(`file:///directory/${encodeURIComponent(name)}`).pathname.split('/')).toHaveLength(3)
        expect(isReservedName(name)).toBe(false)
      }),
    )
  })

  test('of ours is refused, whatever it goes on with', () => {
    fc.assert(
      fc.property(fc.string(), (rest) => {
        expect(filenameProblem(reservedName(rest))).not.toBeNull()
      }),
    )
  })
})
