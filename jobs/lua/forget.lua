-- A search's trials go with it.
if not field('status') then
  return {'not_found'}
end
local ids = redis.call('ZRANGE', key_of('trials', ID), 0, -1)
for _, trial in ipairs(ids) do
  turn_to(trial)
  if not TERMINAL[field('status')] then -- with a worker that takes its time to stop
    return {'held'}
  end
end
ids[#ids + 1] = ARGV[1]
for _, id in ipairs(ids) do
  turn_to(id)
  for _, index in ipairs(indexes()) do
    redis.call('ZREM', index, ID)
    redis.call('ZREM', index .. ':' .. field('status'), ID)
  end
  redis.call('DEL', RECORD, EVENTS, key_of('curve', ID), key_of('trials', ID))
  redis.call('ZREM', ENDED, ID)
  redis.call('ZREM', OUTBOX, ID)
  redis.call('ZREM', WEBHOOKS, ID)
  redis.call('ZREM', PUBLISHED, ID)
end
return {'ok'}
