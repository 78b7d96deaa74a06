import { machineTime } from './machine-time.mjs'
import { forgetPeaks, measuresProcesses, usage } from './process-tree.mjs'

/** The sample of `work`, with what the server and its database spent meanwhile. */
export async function metered({ roots, database = [] }, work) {
  if (!measuresProcesses) return work()
  // The database is a child of the server that started it, but shown by itself.
  const spent = () => [usage(roots, database), usage(database)]
  const [serverBefore, databaseBefore] = spent()
  forgetPeaks([...roots, ...database])
  const before = machineTime()
  const sample = await work()
  const after = machineTime()
  const [server, data] = spent()
  return {
    ...(roots.length > 0 && {
      cpuSeconds: server.cpuSeconds - serverBefore.cpuSeconds,
      peakMiB: server.peakMiB,
    }),
    ...(database.length > 0 && {
      databaseCpuSeconds: data.cpuSeconds - databaseBefore.cpuSeconds,
      databasePeakMiB: data.peakMiB,
    }),
    loadCpuSeconds: after.load - before.load,
    machineBusy: (after.busy - before.busy) / (after.all - before.all),
    machineSteal: (after.steal - before.steal) / (after.all - before.all),
    // A work that looked closer itself knows better.
    ...sample,
  }
}
