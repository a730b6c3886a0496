-- Everybody's info.

while remove_expired(1000) == 1000 do end
return redis.call('hvals', infos)
