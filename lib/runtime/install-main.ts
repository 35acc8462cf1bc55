/** Program: installs the default libtorch; started by loadCore when STRATABERT_LIBTORCH_AUTO_INSTALL=1 allows it. */
import { installLibtorch } from './install-libtorch.js'
import { progressPrinter } from './progress.js'

const printer = progressPrinter()
installLibtorch({ onProgress: printer.report })
  .then(() => printer.end())
  .catch((error) => {
    printer.end()
    console.error(`error[${error.code ?? 'UNKNOWN'}]: ${error.message}`)
    process.exitCode = error.exitCode ?? 1
  })
