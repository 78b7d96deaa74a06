import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/{unit,integration,e2e}/**/*.test.ts'],
    globalSetup: ['test/support/database.ts'],
    // They end what hangs. A machine that has other work is no fault: no test has a shorter one of its own.
    testTimeout: 240_000,
    hookTimeout: 120_000,
    expect: { poll: { timeout: 30_000 } },
    // Processes, sockets and disks are real here: on two cores more workers only wait for each other.
    maxWorkers: 2,
    reporters: ['default', './test/support/summary.ts'],
  },
})
