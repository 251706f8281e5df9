-- The jobs to publish now, put off for a while so that no other process takes them too.
-- KEYS: outbox. ARGV: most, seconds until they are due again unless published.
local time = now()
local ids = redis.call('ZRANGE', KEYS[1], '-inf', whole(time), 'BYSCORE', 'LIMIT', 0, ARGV[1])
for _, id in ipairs(ids) do
  redis.call('ZADD', KEYS[1], whole(time + ARGV[2] * 1000000), id)
end
return ids
