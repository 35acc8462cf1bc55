/** Imported first: on a Node that is too old one sentence and exit code 2, before anything else can fail. */
import { nodeProblem } from '../runtime/system-problem.js'

const problem = nodeProblem(process.versions.node)
if (problem) {
  process.stderr.write(`error[UNSUPPORTED]: ${problem}\n`)
  process.exit(2)
}
