// What the services send, as the gateway's JSON has it: proto field names, enums
// by name, 64-bit integers as numbers, times in RFC 3339, and no zero values.
// The specification is proto/fanfare/{chat,notify}/v1.

export type RoomKind =
  'ROOM_KIND_DIRECT' | 'ROOM_KIND_GROUP' | 'ROOM_KIND_PUBLIC' | 'ROOM_KIND_BROADCAST';

export type Role = 'ROLE_MEMBER' | 'ROLE_ADMIN' | 'ROLE_OWNER';

export interface Room {
  id: string;
  kind?: RoomKind;
  name?: string;
  channel?: string;
  epoch?: string;
  offset?: number;
  last_message_seq?: number;
  member_count?: number;
  created_at?: string;
  created_by?: string;
  direct_users?: string[];
}

export interface Member {
  user: string;
  role?: Role;
  joined_at?: string;
  read_seq?: number;
}

export interface Message {
  room_id: string;
  seq: number;
  id?: string;
  author: string;
  client_msg_id?: string;
  text?: string;
  mentions?: string[];
  created_at?: string;
  edited_at?: string;
  deleted_at?: string;
}

export interface MemberEvent {
  room_id: string;
  member: Member;
  by?: string;
}

export interface ReadEvent {
  room_id: string;
  user: string;
  read_seq?: number;
}

/** One publication of a room's channel: exactly one of these keys is there. */
export interface RoomEvent {
  message_created?: Message;
  message_updated?: Message;
  message_deleted?: Message;
  member_joined?: MemberEvent;
  member_left?: MemberEvent;
  member_changed?: MemberEvent;
  typing?: { room_id: string; user: string };
  read?: ReadEvent;
  room_added?: Room;
}

export interface RoomSummary {
  room: Room;
  membership?: Member;
  last_message?: Message;
  unread_count?: number;
  unread_mentions?: number;
}

export interface MessagePage {
  messages?: Message[];
  has_more_before?: boolean;
  has_more_after?: boolean;
  epoch?: string;
  offset?: number;
}

/** The answer to a command that changed one message. */
export interface MessageAnswer {
  message: Message;
  offset?: number;
}

export interface Notification {
  id: string;
  user?: string;
  category?: string;
  title?: string;
  body?: string;
  link?: string;
  actor?: string;
  data?: Record<string, unknown>;
  created_at?: string;
  seen_at?: string;
  read_at?: string;
  archived_at?: string;
}

export interface Counts {
  unread?: number;
  unseen?: number;
  version?: number;
}

export type NotificationState = 'STATE_SEEN' | 'STATE_READ' | 'STATE_UNREAD' | 'STATE_ARCHIVED';

export interface InboxEvent {
  counts?: Counts;
  created?: Notification;
  changed?: { ids?: string[]; state?: NotificationState };
  all_read?: { until?: string };
}

export interface InboxPage {
  notifications?: Notification[];
  next_cursor?: string;
  counts?: Counts;
  channel?: string;
  epoch?: string;
  offset?: number;
}

/** A place in a channel's log. */
export interface Position {
  epoch: string;
  offset: number;
}
