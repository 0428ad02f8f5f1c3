-- When a task's deadline passed and it was left to wait on. Lists ask for it, and to look into the
-- body costs more.
alter table human_tasks add column escalated_at integer;

update human_tasks
set escalated_at = cast(round((body ->> '$.request.metadata.escalated_at') * 1000000) as integer)
where status = 'pending' and body ->> '$.request.metadata.escalated_at' is not null;
