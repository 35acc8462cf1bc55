/** What Prometheus reads: the encoder's own figures, memory and how long the event loop was held up. */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import type { EncoderStats } from '../../lib/index.js' // yours: from 'stratabert'

/** Figures that only grow; the others are gauges. */
const COUNTERS = new Set(['completed', 'failed', 'rejected', 'aborted', 'replaced', 'batches', 'tokens'])

const loopDelay = monitorEventLoopDelay({ resolution: 10 })
loopDelay.enable()

export function metricsText({ latencyMs, ...figures }: EncoderStats): string {
  const eventLoopDelayP99Seconds = loopDelay.percentile(99) / 1e9
  loopDelay.reset()
  const all = { ...figures, residentBytes: process.memoryUsage.rss(), eventLoopDelayP99Seconds }
  const lines = Object.entries(all).flatMap(([key, value]) => {
    const counter = COUNTERS.has(key)
    const name = `stratabert_${key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)}${counter ? '_total' : ''}`
    return [`# TYPE ${name} ${counter ? 'counter' : 'gauge'}`, `${name} ${value}`]
  })
  lines.push('# TYPE stratabert_latency_seconds gauge')
  for (const [quantile, milliseconds] of Object.entries(latencyMs)) {
    lines.push(`stratabert_latency_seconds{quantile="${Number(quantile.slice(1)) / 100}"} ${milliseconds / 1000}`)
  }
  return `${lines.join('\n')}\n`
}
