// Package job runs named background work: on a schedule, or at once by a kick,
// and once in the whole cluster, by a lease in the database.
//
// It owns the table job and the goroutines that run jobs. It knows nothing of
// what a job does: rooms and registries hand over their own (method.Worker),
// app adds them all. A job is told the time and a context that ends when the
// lease is lost or the server stops.
//
// Clocks may be wrong (security.md REL07). A time in the row that is too far
// ahead to be true stops no job, and a job that forgets is told no time that the
// clock has leapt to, until a day later.
//
// A job must bear being run twice: a node that dies after the work and before
// writing that down leaves it to be done again.
package job
