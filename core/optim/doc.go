// Package optim holds optimizers, the clipping and accumulation of gradients, moving averages
// of parameters, and the schedules of learning rate, weight decay and momentum.
package optim
