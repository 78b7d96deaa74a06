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
    const broken = modules.filter(isBroken).length + errors.length
    const skipped = count('skipped')
    console.log(
      `\n${count('passed')} passed, ${count('failed') + broken} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`,
    )
  }
}

/** Whether errors of a file belong to none of its tests: it could not be loaded, or a hook around them failed. */
function isBroken(module: TestModule): boolean {
  return [module, ...module.children.allSuites()].some((suite) => suite.errors().length > 0)
}

function explain(test: TestCase): void {
  const result = test.result()
  if (result.state === 'skipped')
    console.log(`skipped: ${test.fullName} — ${result.note ?? 'no reason given'}`)
}
