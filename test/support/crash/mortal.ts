/** What a dead process would have done next never happens: every call of it ends in this. */
export class Crash extends Error {
  constructor(step: string) {
    super(`crashed ${step}`)
    this.name = 'Crash'
  }
}

/**
 * The life of a process as a list of steps, which ends at one of them. After that nothing it still tries has any
 * effect, `finally` blocks and error handlers included, as with SIGKILL.
 */
export class Mortal {
  readonly steps: string[] = []
  readonly #lastStep: number
  #from: string | null
  readonly #running = new Set<Promise<unknown>>()
  #death: Crash | null = null

  /** Dies on reaching the step of that number, counted from 0 and, if given, from the step of that name on. */
  constructor(lastStep: number, from: string | null = null) {
    this.#lastStep = lastStep
    this.#from = from
  }

  /** The step at which it died; null while it lives. */
  get death(): string | null {
    return this.#death?.message ?? null
  }

  /** Lives through one point of its life, or dies there. */
  reach(name: string): void {
    if (this.#death !== null) throw this.#death
    if (this.#from !== null && this.#from !== name) return
    this.#from = null
    if (this.steps.push(name) > this.#lastStep) {
      this.#death = new Crash(name)
      throw this.#death
    }
  }

  /** Something with an effect: it may die before, or after with the effect. */
  async step<T>(name: string, act: () => Promise<T>, undo?: (result: T) => Promise<void>): Promise<T> {
    this.reach(`before ${name}`)
    const result = await this.#track(act())
    try {
      this.reach(`after ${name}`)
    } catch (error) {
      await undo?.(result)
      throw error
    }
    return result
  }

  /** Something without an effect on anybody else: no step, but the dead do not even look. */
  async look<T>(act: () => Promise<T>): Promise<T> {
    if (this.#death !== null) throw this.#death
    return act()
  }

  /** Resolves when what was under way at its death has come to an end, as a database ends what it was sent. */
  async stillness(): Promise<void> {
    await Promise.allSettled([...this.#running])
  }

  #track<T>(act: Promise<T>): Promise<T> {
    this.#running.add(act)
    return act.finally(() => this.#running.delete(act))
  }
}
