/** Program: installs a fake libtorch (`node … <manifest.json> <target>`) and prints the outcome. */
import { readFileSync } from 'node:fs'
import { installLibtorch } from '../../lib/runtime/install-libtorch.js'

const steps: string[] = []
installLibtorch({
  manifest: JSON.parse(readFileSync(process.argv[2], 'utf8')),
  directory: process.argv[3],
  onProgress: ({ step }) => steps.push(step),
})
  .then(({ installed, tree }) => console.log(JSON.stringify({ installed, version: tree.version, steps })))
  .catch((error) => {
    console.log(JSON.stringify({ code: error.code, message: error.message }))
    process.exitCode = 1
  })
