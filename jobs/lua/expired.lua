-- Running jobs whose lease has ended. Where nobody has looked for a while, it may be Redis itself that stood still, and
-- no worker could renew: then each lease is a whole one from now on.
-- KEYS: leases, looked. ARGV: lease seconds, seconds that are a while, most.
local lease, silence, most = ARGV[1] * 1000000, ARGV[2] * 1000000, ARGV[3]
local time = now()
local looked = redis.call('GETSET', KEYS[2], whole(time))
if looked and time - looked > silence then
  for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
    redis.call('ZADD', KEYS[1], 'GT', whole(time + lease), id)
  end
end
return redis.call('ZRANGE', KEYS[1], '-inf', whole(time), 'BYSCORE', 'LIMIT', 0, most)
