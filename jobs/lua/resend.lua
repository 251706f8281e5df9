local status = field('status')
if not status then
  return {'not_found'}
elseif not (TERMINAL[status] and field('webhook_state')) then
  return {'not_due'}
end
due_webhook(now())
change({}, 'webhook', {state = 'pending', attempts = 0, error = ''})
return {'ok'}
