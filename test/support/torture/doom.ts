/** After how many of what the server dies, and how many ms after that. */
export interface Fuse {
  readonly of: 'bytes' | 'requests' | 'answers' | 'finals'
  readonly count: number
  readonly delay: number
}

/** A round in which nothing of what was drawn comes to pass must end too. */
const LONGEST_MS = 1_000

const FUSES = [
  { of: 'bytes', most: 6 * 1024 * 1024, delay: 0 },
  { of: 'requests', most: 30, delay: 15 },
  { of: 'answers', most: 30, delay: 0 },
  { of: 'finals', most: 3, delay: 60 },
] as const

export function drawFuse(random: () => number): Fuse {
  const { of, most, delay } = FUSES[Math.floor(random() * FUSES.length)] ?? FUSES[0]
  return { of, count: Math.ceil(random() ** 2 * most), delay: Math.floor(random() * (delay + 1)) }
}

/** The moment at which a server is killed, as the clients bring it about. */
export class Doom {
  readonly come: Promise<void>
  readonly #fuse: Fuse
  readonly #strike: () => void
  readonly #longest: NodeJS.Timeout
  #count = 0
  #struck = false

  constructor(fuse: Fuse) {
    this.#fuse = fuse
    let strike = (): void => undefined
    this.come = new Promise((resolve) => {
      strike = resolve
    })
    this.#strike = () => {
      clearTimeout(this.#longest)
      this.#struck = true
      strike()
    }
    this.#longest = setTimeout(this.#strike, LONGEST_MS)
  }

  get hasStruck(): boolean {
    return this.#struck
  }

  /** Tells of something that happened. The kill may come a moment later: that is the point of the delay. */
  note(what: Fuse['of'], amount = 1): void {
    if (what !== this.#fuse.of || this.#count >= this.#fuse.count) return
    this.#count += amount
    if (this.#count < this.#fuse.count) return
    if (this.#fuse.delay === 0) this.#strike()
    else setTimeout(this.#strike, this.#fuse.delay)
  }
}
