import type { KeyedBytes } from '../keyed-bytes.js'
import { type Content, joined } from './content.js'

/** What clients know of one upload: what was acknowledged, and what was sent without an answer. */
export interface Entry {
  readonly id: string
  readonly kind: 'whole' | 'partial' | 'final'
  readonly content: Content
  /** Of plain uploads: the bytes to send. */
  readonly bytes: KeyedBytes | null
  readonly parts: readonly Entry[]
  /** The highest offset any answer ever named. */
  acknowledged: number
  /** End of what was sent so far, answered or not. */
  sent: number
  /** `leaving`: a DELETE was sent and not answered. */
  state: 'open' | 'complete' | 'leaving' | 'gone'
  /** Somebody is at it, one at a time. */
  busy: boolean
  /** When the server says it was completed, once it did: that never changes. */
  completedAt: string | null
}

/** A final that was asked for, and not answered. */
export interface AskedFinal {
  readonly parts: readonly Entry[]
  readonly metadata: string
}

/** What all clients of a torture know. */
export class Journal {
  readonly entries: Entry[] = []
  asked: AskedFinal[] = []

  addPlain(id: string, kind: 'whole' | 'partial', bytes: KeyedBytes, offset: number): Entry {
    const entry: Entry = {
      ...{ id, kind, content: bytes, bytes, parts: [], busy: false, completedAt: null },
      acknowledged: offset,
      sent: offset,
      state: offset === bytes.length ? 'complete' : 'open',
    }
    this.entries.push(entry)
    return entry
  }

  addFinal(id: string, parts: readonly Entry[]): Entry {
    const known = this.entries.find((entry) => entry.id === id)
    if (known) return known
    const content = joined(parts.map((part) => part.content))
    const entry: Entry = {
      ...{ id, kind: 'final', content, bytes: null, parts, busy: false, completedAt: null },
      acknowledged: 0,
      sent: content.length,
      state: parts.every((part) => part.state === 'complete') ? 'complete' : 'open',
    }
    this.entries.push(entry)
    return entry
  }

  get living(): readonly Entry[] {
    return this.entries.filter(({ state }) => state !== 'gone')
  }

  /** Whether a final that waits, or was asked for without an answer, needs this part. */
  isAwaited(part: Entry): boolean {
    const waiting = this.entries.filter(({ kind, state }) => kind === 'final' && state === 'open')
    return [...waiting, ...this.asked].some(({ parts }) => parts.includes(part))
  }
}
