-- Removes a client's presence.
--
-- ARGV  1 client

remove(ARGV[1])
return 1
