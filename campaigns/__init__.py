"""Clusters, accounts and time to linked groups, evidence and campaigns. Knows no text model, no Prefect.

To read in this order: `vocabulary`, `traffic` (the sampled rows as arrays); `link`, `groups`, `profiles`,
`candidates` (who is judged together); `laws`, `aspects`, `people`, `volumes` (what people and queues do);
`evidence/` (a signal a file), `explain`, `weighing`, `discovery` (what remains against innocent models, and
passes); `marks`, `mixture`, `crews`, `merge`, `members` (whose work it is, and how many operators there are);
`judge` (all of it, in order); `records`, `report/` (tables and page). Beside them `simulation/`, `evaluate`.
"""
