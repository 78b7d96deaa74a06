import type { Reporter, TestCase } from 'vitest/node'

/** Prints why tests were skipped, and ends with one line that counts, for machines and people in a hurry. */
export default class SkipReporter implements Reporter {
  readonly #seen: TestCase[] = []

  onTestCaseResult(test: TestCase): void {
    this.#seen.push(test)
  }

  onTestRunEnd(): void {
    const count = (state: string) => this.#seen.filter((test) => test.result().state === state).length
    for (const test of this.#seen) {
      const result = test.result()
      if (result.state === 'skipped')
        console.log(`skipped: ${test.fullName} — ${result.note ?? 'no reason given'}`)
    }
    const skipped = count('skipped')
    console.log(
      `\n${count('passed')} passed, ${count('failed')} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`,
    )
  }
}
