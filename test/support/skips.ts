import type { Reporter, TestCase, TestModule, Vitest } from 'vitest/node'

/**
 * Prints why tests were skipped, and ends with one line that counts, for machines and people in a hurry. A file that
 * could not be run at all, and an error outside any test, count as failed.
 */
export default class SkipReporter implements Reporter {
  readonly #seen: TestCase[] = []
  #filtered = false

  onInit(vitest: Vitest): void {
    this.#filtered = vitest.config.testNamePattern !== undefined
  }

  onTestCaseResult(test: TestCase): void {
    this.#seen.push(test)
  }

  onTestRunEnd(modules: readonly TestModule[], errors: readonly unknown[]): void {
    const count = (state: string) => this.#seen.filter((test) => test.result().state === state).length
    if (!this.#filtered) for (const test of this.#seen) explain(test)
    const broken = modules.filter((module) => module.errors().length > 0).length + errors.length
    const skipped = count('skipped')
    console.log(
      `\n${count('passed')} passed, ${count('failed') + broken} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`,
    )
  }
}

function explain(test: TestCase): void {
  const result = test.result()
  if (result.state === 'skipped')
    console.log(`skipped: ${test.fullName} — ${result.note ?? 'no reason given'}`)
}
