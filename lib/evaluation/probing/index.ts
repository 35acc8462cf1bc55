// What each layer of a frozen encoder knows: probing tasks at every layer, with their controls.
export type { ProbePooling } from './encoded-units.js'
export { bestLayer, layerCentroid } from './layer-summary.js'
export {
  PROBE_CONTROLS,
  type ProbeControl,
  type ProbeFigures,
  type ProbeOptions,
  type ProbeSets,
  probeModelFolder,
} from './probe-model-folder.js'
export type { ProbeCell, ProbeClassifier, ProbedTask, ProbeReport, ProbeScore } from './probe-report.js'
export { probeCsv, probeLines, probeMarkdown, unconvergedNote } from './probe-table.js'
export type { PlannedSet } from './units.js'
export { writePredictions, writeProbeReport } from './write-report.js'
