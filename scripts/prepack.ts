/** Before `npm pack` and `npm publish`: dist/ as the sources are now, and the bill of materials. */
import { buildDist } from './build-dist.js'
import { writeBill } from './package-bill.js'

buildDist()
writeBill()
