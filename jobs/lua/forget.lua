-- KEYS[16...]: the indexes that never change.
local status = field('status')
if not status then
  return {'not_found'}
end
redis.call('DEL', RECORD, EVENTS)
redis.call('ZREM', ENDED, ID)
redis.call('ZREM', BY_STATUS[status], ID)
for index = 16, #KEYS do
  redis.call('ZREM', KEYS[index], ID)
end
return {'ok'}
