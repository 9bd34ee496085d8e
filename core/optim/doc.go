// Package optim holds optimizers, the clipping and accumulation of gradients, exponential moving
// averages of parameters, and schedules of learning rate, weight decay and momentum.
package optim
