/** An update rule as the model's optimiser takes it. */
import type { OptimizerOptions, ParameterGroup } from '../model/index.js'
import type { OptimizerSettings } from './types.js'

/** Settings of a stage and its groups as {@link Optimizer.create} takes them; fields of other kinds are left out. */
export function optimizerOptions(
  settings: Pick<OptimizerSettings, 'kind' | 'beta1' | 'beta2' | 'epsilon'> & Partial<OptimizerSettings>,
  groups: ParameterGroup[],
): OptimizerOptions {
  const { kind, beta1, beta2, epsilon } = settings
  switch (kind) {
    case 'sgd': {
      const { momentum, dampening, nesterov } = settings
      return { kind, momentum, dampening, nesterov, groups }
    }
    case 'adamax':
      return { kind, variant: settings.variant, beta1, beta2, epsilon, groups }
    default:
      return { kind, beta1, beta2, epsilon, groups }
  }
}
