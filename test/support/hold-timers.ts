import { onTestFinished, vi } from 'vitest'

/** Until the test is over, no timer is due unless the test says so (`vi.runAllTimers`). */
export function holdTimers(): void {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  onTestFinished(() => {
    vi.useRealTimers()
  })
}
