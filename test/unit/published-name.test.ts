import { randomUUID } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { filenameProblem, isReservedName } from '../../src/upload/filename.js'
import {
  displacedNames,
  isDisplacedName,
  isPartName,
  isUnfinishedName,
  partName,
  privateNames,
  probeName,
  splitExtension,
} from '../../stores/disk/published-name.js'

const MOMENT = new Date('2026-01-31T08:17:18.999Z')

/** The names of a displaced file, as many as are asked for. */
function names(filename: string, count = 1, moment = MOMENT): readonly string[] {
  const generated = displacedNames(filename, moment)
  return Array.from({ length: count }, () => generated.next().value)
}

const filenames = fc
  .oneof(
    fc.string({ unit: 'binary', minLength: 1, maxLength: 260 }),
    fc.string({ minLength: 1, maxLength: 300 }),
    fc.tuple(fc.string({ maxLength: 250 }), fc.string({ maxLength: 250 })).map((both) => both.join('.')),
  )
  .filter((name) => filenameProblem(name, 'linux') === null)

describe('a displaced file', () => {
  test.each([
    ['same.tar.gz', 'same.tar_20260131_081718.gz'],
    ['name', 'name_20260131_081718'],
    ['.bashrc', '.bashrc_20260131_081718'],
    ['.config.json', '.config_20260131_081718.json'],
    ['..', '.._20260131_081718'],
    ['...a', '...a_20260131_081718'],
    ['a.', 'a_20260131_081718.'],
    ['a..b', 'a._20260131_081718.b'],
    ['日本.mp4', '日本_20260131_081718.mp4'],
  ])('%s becomes %s', (filename, name) => {
    expect(names(filename)).toEqual([name])
  })

  test('gets a number where that is taken', () => {
    expect(names('a.b', 3)).toEqual(['a_20260131_081718.b', 'a_20260131_081718_2.b', 'a_20260131_081718_3.b'])
  })

  test('is cut to 255 bytes, between characters', () => {
    expect(names(`${'a'.repeat(251)}.mp4`)).toEqual([`${'a'.repeat(235)}_20260131_081718.mp4`])
    // 235 bytes are 78 characters of three, and one byte is left.
    expect(names(`${'日'.repeat(83)}.mp4`)).toEqual([`${'日'.repeat(78)}_20260131_081718.mp4`])
    expect(names(`${'😀'.repeat(62)}.mp4`)).toEqual([`${'😀'.repeat(58)}_20260131_081718.mp4`])
  })

  test('loses an extension that leaves no room for anything else', () => {
    const extension = `.${'x'.repeat(250)}`
    expect(names(`ab${extension}`)).toEqual([`ab${extension.slice(0, 237)}_20260131_081718`])
  })

  test('always gets a name of its own that a file may have and a client may not be refused', () => {
    fc.assert(
      fc.property(
        filenames,
        fc.date({ noInvalidDate: true, min: new Date(0), max: new Date('9999-12-31') }),
        (filename, moment) => {
          const given = names(filename, 12, moment)
          expect(new Set(given).size).toBe(12)
          for (const name of given) expect(filenameProblem(name, 'linux')).toBeNull()
        },
      ),
    )
  })

  test('is recognized by its name, and others are not', () => {
    fc.assert(
      fc.property(filenames, fc.nat(11), (filename, number) => {
        expect(isDisplacedName(filename, names(filename, 12)[number] ?? '')).toBe(true)
      }),
    )
    for (const name of [
      'same.tar.gz',
      'same_20260131_081718.gz',
      'same.tar_20260131_081718',
      'same.tar_20260131_81718.gz',
      'same.tar_20260131_081718_0.gz',
      'same.tar_20260131_081718_1.gz',
      'same.tar_20260131_081718_02.gz',
      'other.tar_20260131_081718.gz',
    ]) {
      expect(isDisplacedName('same.tar.gz', name), name).toBe(false)
    }
  })
})

describe('an extension', () => {
  test.each([
    ['a.b', 'a', '.b'],
    ['a.b.c', 'a.b', '.c'],
    ['.a', '.a', ''],
    ['..a', '..a', ''],
    ['.a.b', '.a', '.b'],
    ['...', '...', ''],
    ['a.', 'a', '.'],
    ['a', 'a', ''],
  ])('of %s is what Python says', (name, stem, extension) => {
    expect(splitExtension(name)).toEqual({ stem, extension })
  })
})

describe('private names', () => {
  test('are none a client can have', () => {
    const id = randomUUID()
    for (const name of [...Object.values(privateNames(id)), partName(id), probeName()]) {
      expect(isReservedName(name)).toBe(true)
    }
  })

  test('are the same for every attempt, but for those of copies that are not finished', () => {
    const id = randomUUID()
    expect(privateNames(id)).toEqual(privateNames(id))
    expect(new Set(Object.values(privateNames(id))).size).toBe(3)
    expect(partName(id)).not.toBe(partName(id))
    expect(isPartName(partName(id), id)).toBe(true)
    expect(isPartName(partName(randomUUID()), id)).toBe(false)
    expect([partName(id), probeName()].every(isUnfinishedName)).toBe(true)
    expect(Object.values(privateNames(id)).some(isUnfinishedName)).toBe(false)
  })

  test('are made of ids only', () => {
    expect(() => privateNames('../x')).toThrow(RangeError)
  })
})
