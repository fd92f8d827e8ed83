"""Transitions of leases, with their consequences: the lease before and after, records, and events.

`rules.lease` has the steps of the value, `rules.decide` and `rules.review` decide which step to
take, and this package has its consequences: which member has had its turn, which brake is set,
which upgrade continues without the lease, which events are written. Each function takes values and
`now` and returns a `Change`, which the coordinator commits as a whole or not at all. There is no
I/O, clock or state here.

- A token rises with a grant (`grants`), and with nothing else.
- A release (`ends`) always notes that the holder has had its turn, and writes `lease.released`. The
  release of a failed upgrade sets its brake, unless `rules.brakes.stops` finds that the failure
  proves nothing about the installed version.
- A change that leaves the lease as it is has no record and no event.
"""
