import type { Command } from 'commander'
import { type Diagnosis, describeAttempts, describeTree, diagnose } from '../runtime/index.js'
import { example } from './arguments.js'
import { printJson } from './output.js'

const FLOAT_PRODUCTS = {
  mkl: 'products by MKL, libtorch’s own choice (STRATABERT_FLOAT_PRODUCTS)',
  onednn: 'products by oneDNN (STRATABERT_FLOAT_PRODUCTS)',
  unknown: 'unknown: the runtime does not load',
}

/** `doctor`: what this machine has, and what to do about each problem. Exit code 1 when nothing can be computed. */
export function registerDoctor(program: Command): void {
  const command = program
    .command('doctor')
    .description('check platform, compiler, libtorch, addons and devices, and say what to do about each problem')
    .option('--json', 'print one JSON document', false)
    .action((options: { json: boolean }) => {
      const diagnosis = diagnose()
      if (options.json) printJson(diagnosis)
      else process.stdout.write(formatDiagnosis(diagnosis))
      if (!diagnosis.usable) process.exitCode = 1
    })
  example(command, 'stratabert doctor --json')
}

/** The human form. */
function formatDiagnosis(diagnosis: Diagnosis): string {
  const { machine, libtorch, addons, devices, cudaProblem, problems, productRates } = diagnosis
  const gigabytes = (bytes: number) => `${(bytes / 1e9).toFixed(1)} GB`
  const limit = machine.threads.cgroupLimit === null ? '' : `, container limit ${machine.threads.cgroupLimit}`
  const memoryLimit =
    machine.memory.cgroupLimitBytes === null ? '' : `, container limit ${gigabytes(machine.memory.cgroupLimitBytes)}`
  const speed = (rate: number) => rate.toFixed(rate < 10 ? 1 : 0)
  const rows: [string, string][] = [
    ['stratabert', diagnosis.version],
    ['platform', `${machine.platform}, kernel ${machine.kernel}, glibc ${machine.glibc ?? 'none'}`],
    ['Node', machine.node],
    ['processor', `${machine.cpu} (${machine.cpuFeatures.join(', ') || 'no known extensions'})`],
    ['bf16', machine.nativeBf16 ? 'computed by the processor' : 'emulated: use fp32 on this processor'],
    ['fp32', FLOAT_PRODUCTS[diagnosis.floatProducts ?? 'unknown']],
    ['threads', `${machine.threads.available}${limit}`],
    ['memory', `${gigabytes(machine.memory.totalBytes)}${memoryLimit}`],
    ['compiler', machine.tools.compiler ?? 'none (needed to build from sources only)'],
    ['CMake', machine.tools.cmake ?? 'none (needed to build from sources only)'],
    ['pip', machine.tools.pip ?? 'none (needed to fetch libtorch)'],
    ['NVIDIA driver', machine.nvidiaDriver ?? 'none'],
    [
      'libtorch',
      libtorch.found
        ? `${describeTree(libtorch.found)} from ${libtorch.found.source}: ${libtorch.found.directory}`
        : 'not found',
    ],
    ...addons.map(({ name, path, problem }): [string, string] => [`addon ${name}`, path ?? problem ?? 'missing']),
    ['devices', devices.join(', ') || 'none'],
  ]
  if (productRates) {
    const { fp32, bf16 } = productRates
    rows.push(['products', `fp32 ${speed(fp32)}, bf16 ${speed(bf16)} GFLOP/s, measured now`])
  }
  if (cudaProblem) rows.push(['no CUDA', cudaProblem])
  const width = Math.max(...rows.map(([name]) => name.length))
  const lines = rows.map(([name, value]) => `${name.padEnd(width)}  ${value}`)
  lines.push('', 'libtorch was looked for at:', describeAttempts(libtorch.attempts))
  if (problems.length > 0) {
    lines.push('', 'Problems:')
    problems.forEach(({ problem, remedy }, i) => {
      lines.push(`  ${i + 1}. ${problem}`, `     → ${remedy}`)
    })
  }
  lines.push('', diagnosis.usable ? 'Ready to compute.' : 'Not ready: solve the problems above.')
  return `${lines.join('\n')}\n`
}
