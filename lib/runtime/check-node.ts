/** Imported first by the library and by the command line: on a Node that is too old, one sentence instead of an odd failure later. */
import { StrataError } from '../errors.js'
import { nodeProblem } from './system-problem.js'

const problem = nodeProblem(process.versions.node)
if (problem) throw new StrataError('UNSUPPORTED', problem, { details: { node: process.versions.node } })
