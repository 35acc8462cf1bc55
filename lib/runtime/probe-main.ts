/**
 * Program: loads libtorch and the main addon and prints what came of it as JSON. A process of its own, because a damaged library may
 * kill the one that opens it.
 */
import { loadRuntime } from './load-core.js'

function probe(): Record<string, unknown> {
  try {
    const { core, tree, device, cudaProblem } = loadRuntime({
      device: process.argv[2] || 'auto',
      libtorch: process.argv[3] || undefined,
    })
    return {
      ok: true,
      torchVersion: core.torchVersion,
      libtorch: tree,
      device,
      cudaProblem,
      cudaDevices: core.cudaDeviceCount?.() ?? 0,
      floatProducts: core.floatProducts?.() ?? null,
      productRates: core.productRates?.() ?? null,
    }
  } catch (error) {
    return { ok: false, code: (error as { code?: string }).code ?? 'UNKNOWN', message: (error as Error).message }
  }
}

process.removeAllListeners('warning')
process.stdout.write(`${JSON.stringify(probe())}\n`)
