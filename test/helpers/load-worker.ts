/** Worker: loads the runtime, without a wish of its own unless `workerData.libtorch` names a folder. */
import { parentPort, workerData } from 'node:worker_threads'
import { loadRuntime } from '../../lib/runtime/index.js'

function answer(): object {
  try {
    const { core, tree } = loadRuntime({ device: 'cpu', libtorch: workerData?.libtorch })
    return { torchVersion: core.torchVersion, directory: tree.directory }
  } catch (error) {
    const { code, message } = error as { code: string; message: string }
    return { code, message }
  }
}

parentPort!.postMessage(answer())
