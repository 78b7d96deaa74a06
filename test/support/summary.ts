import type { Reporter, TestCase, TestModule, Vitest } from 'vitest/node'

/**
 * Ends the output with what someone looks for first: why tests were skipped, which failed and of what, and one line
 * that counts. A file that could not be run at all, and an error outside any test, count as failed.
 */
export default class SummaryReporter implements Reporter {
  readonly #seen: TestCase[] = []
  #filtered = false

  onInit(vitest: Vitest): void {
    this.#filtered = vitest.config.testNamePattern !== undefined
  }

  onTestCaseResult(test: TestCase): void {
    this.#seen.push(test)
  }

  onTestRunEnd(modules: readonly TestModule[], errors: readonly { readonly message: string }[]): void {
    const passed = this.#seen.filter((test) => test.result().state === 'passed').length
    const skipped = this.#seen.filter((test) => test.result().state === 'skipped')
    const failures = [
      ...this.#seen.flatMap(failureOf),
      ...modules.flatMap(failureAround),
      ...errors.map((error) => `an error outside the tests — ${firstLine(error)}`),
    ]
    // With a filter by name, all other tests are skipped for no reason but that.
    if (!this.#filtered) for (const test of skipped) console.log(reasonOf(test))
    for (const failure of failures) console.log(`failed: ${failure}`)
    const count = `${passed} passed, ${failures.length} failed`
    console.log(`\n${count}${skipped.length > 0 ? `, ${skipped.length} skipped` : ''}`)
  }
}

function reasonOf(test: TestCase): string {
  const result = test.result()
  return `skipped: ${test.fullName} — ${(result.state === 'skipped' && result.note) || 'no reason given'}`
}

function failureOf(test: TestCase): string[] {
  const result = test.result()
  if (result.state !== 'failed') return []
  return [`${test.module.relativeModuleId} > ${test.fullName} — ${firstLine(result.errors[0])}`]
}

/** What belongs to a file and to none of its tests: it could not be loaded, or a hook around them failed. */
function failureAround(module: TestModule): string[] {
  const [error] = [module, ...module.children.allSuites()].flatMap((suite) => suite.errors())
  return error === undefined ? [] : [`${module.relativeModuleId} — ${firstLine(error)}`]
}

/** What is thrown may be anything. */
function firstLine(error: { readonly message?: string } | undefined): string {
  return error?.message?.split('\n', 1)[0] || 'no message given'
}
