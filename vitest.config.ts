import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/{unit,integration,e2e}/**/*.test.ts'],
    globalSetup: ['test/support/database.ts'],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // Processes, sockets and disks are real here: on two cores more workers only wait for each other.
    maxWorkers: 2,
    reporters: ['default', './test/support/summary.ts'],
  },
})
