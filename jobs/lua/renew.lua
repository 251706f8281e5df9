-- ARGV[2...]: token, lease seconds.
if not holds(ARGV[2]) then
  return lost('renew')
end
lease(ARGV[3])
return {'ok', field('cancel_requested')}
