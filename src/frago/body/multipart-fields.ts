import { MOST_FIELD_BYTES, tooLarge } from './collect.js'
import type { Fields } from './fields.js'
import type { OpenBody } from './open-body.js'
import { walkMultipart } from './walk-multipart.js'

/** The text fields of a form; files in it stand for nothing here, and are dropped as they come. */
export async function multipartFields(body: OpenBody, signal: AbortSignal): Promise<Fields> {
  const fields = new Map<string, string | null>()
  let size = 0
  const set = (name: string, value: string | null) => {
    size += Buffer.byteLength(name) + Buffer.byteLength(value ?? '')
    if (size > MOST_FIELD_BYTES) throw tooLarge()
    fields.set(name, value)
  }
  await walkMultipart(body, signal, {
    field: (name, value, truncated) => {
      if (truncated) throw tooLarge()
      set(name, value)
    },
    // Whoever sends a file where text is expected named the field, but gave it no text.
    file: async (name, { content }) => {
      content.resume()
      set(name, null)
    },
  })
  return fields
}
