-- Back to the outbox: jobs published long ago that nobody claimed, the oldest first.
-- KEYS: published, outbox. ARGV: most, seconds ago.
local time = now()
local ids = redis.call('ZRANGE', KEYS[1], '-inf', whole(time - ARGV[2] * 1000000), 'BYSCORE', 'LIMIT', 0, ARGV[1])
for _, id in ipairs(ids) do
  redis.call('ZREM', KEYS[1], id)
  redis.call('ZADD', KEYS[2], whole(time), id)
end
return ids
