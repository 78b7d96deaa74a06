import { Transform, type TransformCallback } from 'node:stream'
import { malformed } from './malformed.js'

/** What RFC 2045 section 6.8 has between the characters that count: line ends, which Django drops too. */
const BLANKS = /\s+/g

/** Decodes the content of a part that says `Content-Transfer-Encoding: base64`, as Django does, as it comes. */
export class Base64Decoder extends Transform {
  /** Up to three characters that make no whole byte yet. */
  #rest = ''

  override _transform(bytes: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    const text = this.#rest + bytes.toString('latin1').replace(BLANKS, '')
    const whole = text.length - (text.length % 4)
    this.#rest = text.slice(whole)
    done(null, Buffer.from(text.slice(0, whole), 'base64'))
  }

  override _flush(done: TransformCallback): void {
    done(this.#rest === '' ? null : malformed('Multipart form', 'Could not decode base64 data.'))
  }
}
