local status = field('status')
if not status then
  return {'not_found'}
end
for _, index in ipairs(indexes()) do
  redis.call('ZREM', index, ID)
  redis.call('ZREM', index .. ':' .. status, ID)
end
redis.call('DEL', RECORD, EVENTS)
redis.call('ZREM', ENDED, ID)
redis.call('ZREM', OUTBOX, ID)
redis.call('ZREM', PUBLISHED, ID)
return {'ok'}
