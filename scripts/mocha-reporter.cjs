// Mocha's own `spec` report, plus the counts as JSON in the file that STRATABERT_TEST_COUNTS names.
const { writeFileSync } = require('node:fs')
const { Spec } = require('mocha').reporters

module.exports = class extends Spec {
  constructor(runner, options) {
    super(runner, options)
    const { stats } = this
    runner.once('end', () => {
      const { passes, failures, pending } = stats
      const path = process.env.STRATABERT_TEST_COUNTS
      if (path) writeFileSync(path, JSON.stringify({ passed: passes, failed: failures, skipped: pending }))
    })
  }
}
