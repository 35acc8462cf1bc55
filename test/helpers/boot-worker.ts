/** Worker: opens a library, maps a file and claims a folder through its own copy of the boot addon. */
import { parentPort, workerData } from 'node:worker_threads'
import { loadBoot } from '../../lib/runtime/boot.js'

const { library, file, claim } = workerData as { library: string; file: string; claim: string }
const boot = loadBoot()
const bytes = new Uint8Array(boot.mapFile(file))
bytes[0] = 255
parentPort!.postMessage({
  opened: boot.open(library),
  length: bytes.length,
  second: bytes[1],
  claimed: boot.claim(claim),
})
