-- Returns {number of clients, number of users}.

while remove_expired(1000) == 1000 do end
return {redis.call('zcard', expiry), redis.call('hlen', counts)}
