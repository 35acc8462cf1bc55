/** One self-contained page about runs and the outputs of probe, layers and compare. The only door of this room. */
export { type ReportOptions, type WrittenReport, writeReport } from './write-report.js'
