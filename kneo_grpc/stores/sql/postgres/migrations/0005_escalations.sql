-- When a task's deadline passed and it was left to wait on. Lists ask for it, and the body must not
-- be asked: one NUL or lone surrogate in it, which JSON may hold and text may not, fails the list.
alter table human_tasks add column escalated_at timestamptz;

-- Such characters are replaced before the look. A backslash stays one, escaped or not.
update human_tasks
set escalated_at = to_timestamp((
  regexp_replace(body::text, '\\u(0000|d[89a-f][0-9a-f]{2})', '\\ufffd', 'gi')::json
    -> 'request' -> 'metadata' ->> 'escalated_at'
)::double precision)
where status = 'pending' and body::text like '%"escalated_at"%';
