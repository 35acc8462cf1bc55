/** Settings of every update rule, as the tests run them. */
import type { OptimizerOptions } from '../../lib/model/index.js'

export type Rule<T = OptimizerOptions> = T extends OptimizerOptions ? Omit<T, 'groups'> : never

const betas = { beta1: 0.9, beta2: 0.999 }

export const RULES: Record<string, Rule> = {
  adamw: { kind: 'adamw', ...betas, epsilon: 1e-8 },
  adamax: { kind: 'adamax', ...betas, epsilon: 1e-8 },
  'adamax as MT-DNN': { kind: 'adamax', variant: 'mt-dnn', ...betas, epsilon: 1e-6 },
  'bert-adam': { kind: 'bert-adam', ...betas, epsilon: 1e-6 },
  sgd: { kind: 'sgd' },
  'sgd with momentum': { kind: 'sgd', momentum: 0.9, dampening: 0.5 },
  'sgd, Nesterov': { kind: 'sgd', momentum: 0.9, nesterov: true },
}
