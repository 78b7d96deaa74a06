import { AsyncLocalStorage } from 'node:async_hooks'

const acting = new AsyncLocalStorage<string | null>()

/**
 * Runs code of the embedding server on behalf of an owner: what it asks a store by id alone is then asked for that
 * owner, however deep in promises, timers and streams. Never code of our own: connections and timers that are made
 * meanwhile keep the owner for as long as they live.
 */
export function actingFor<T>(owner: string | null, work: () => T): T {
  // From its first use on the storage slows down every promise of the process; without owners it is never used.
  return owner === actingOwner() ? work() : acting.run(owner, work)
}

/** On whose behalf the running code acts; null, the anonymous owner, outside of `actingFor`. */
export function actingOwner(): string | null {
  return acting.getStore() ?? null
}
