import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { parse, parseAllDocuments } from 'yaml'
import { SETTINGS } from '../../src/config/settings.js'

const EXAMPLES = new URL('../../examples/cluster/', import.meta.url)
const text = (name: string) => readFileSync(new URL(name, EXAMPLES), 'utf8')
const known = new Set<string>(SETTINGS.map(({ name }) => name))

describe('examples/cluster', () => {
  test('compose.yaml is YAML whose services and volumes are there, with settings there are', () => {
    const compose = parse(text('compose.yaml'), { merge: true })
    const { one, proxy } = compose.services
    for (const name of ['one', 'two', 'three', 'proxy', 'database', 'objects'])
      expect(compose.services).toHaveProperty(name)
    for (const name of proxy.depends_on) expect(compose.services).toHaveProperty(name)
    for (const name of Object.keys(one.depends_on)) expect(compose.services).toHaveProperty(name)
    const ours = Object.keys(one.environment).filter((name) => !name.startsWith('AWS_'))
    expect(ours.filter((name) => !known.has(name))).toEqual([])
    for (const volume of Object.keys(compose.volumes)) expect(text('compose.yaml')).toContain(`${volume}:/`)
  })

  test('kubernetes.yaml is YAML of objects with a version, a kind and a name, and settings there are', () => {
    const documents = parseAllDocuments(text('kubernetes.yaml'))
    expect(documents.flatMap(({ errors }) => errors)).toEqual([])
    const objects = documents.map((document) => document.toJS())
    for (const { apiVersion, kind, metadata } of objects)
      expect([apiVersion, kind, metadata.name]).toEqual([expect.any(String), expect.any(String), 'tributary'])
    const settings = objects.find(({ kind }) => kind === 'ConfigMap').data
    expect(Object.keys(settings).filter((name) => !known.has(name))).toEqual([])
    const { template, selector } = objects.find(({ kind }) => kind === 'Deployment').spec
    expect(template.metadata.labels).toMatchObject(selector.matchLabels)
    expect(objects.find(({ kind }) => kind === 'Service').spec.selector).toEqual(selector.matchLabels)
    // Without the database all nodes would be taken out at once, and a HEAD answered by the ingress with 503: clients begin anew then.
    const [{ readinessProbe }] = template.spec.containers
    expect(readinessProbe.httpGet.path).toBe('/healthz')
  })
})
