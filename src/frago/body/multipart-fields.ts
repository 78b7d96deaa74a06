import { MOST_FIELD_BYTES, tooLarge } from './collect.js'
import type { Fields } from './fields.js'
import type { OpenBody } from './open-body.js'
import { walkMultipart } from './walk-multipart.js'

/** Stands for a file: given, and no text. */
const A_FILE = Symbol('a file')

/** The text fields of a form; files in it stand for nothing here, and are dropped as they come. */
export async function multipartFields(body: OpenBody, signal: AbortSignal): Promise<Fields> {
  const fields = new Map<string, unknown>()
  let size = 0
  const set = (name: string, value: unknown, bytes: number) => {
    size += Buffer.byteLength(name) + bytes
    if (size > MOST_FIELD_BYTES) throw tooLarge()
    fields.set(name, value)
  }
  await walkMultipart(body, signal, {
    field: (name, value, truncated) => {
      if (truncated) throw tooLarge()
      set(name, value, Buffer.byteLength(value))
    },
    // Whoever sends a file where text is expected gave the field something, but no text.
    file: async (name, { content }) => {
      content.resume()
      set(name, A_FILE, 0)
    },
  })
  return fields
}
